"""The index of a project: derived from its files, disposable, shared by processes.

A missing, old or damaged index is built again. If its place in the home cannot be used, it lasts
for this process. A refresh compares the files' times and sizes, a thousand at a time. After a
change of its own a process looks only at what that touched, and before it says that something does
not exist, at everything. A row number sorts as its record's time does, so pages need no sorting.
Tags, sources and marks are `facets`. Text is in FTS5: as words, and in scripts without spaces as
words of one character. A count ends at a bound and says so (`total_is_exact`).

What evals count stands in columns (`results`): the results of judges with their scores, the outputs
of run configs, ratings, tags of inputs. Rows that are only counted are never read from files.
"""
