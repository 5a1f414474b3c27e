"""Transactions: write-ahead log, recovery, locks, claims, trash, side files.

A save over other bytes than it read is refused (`StaleRevision`). A change to several files is
written aside first, so a full disk refuses before anything is changed. Writers are kept apart by a
lock file in the home and by a lock on the project's folder, which other homes see too.

Tasks of one process that write at the same time are written as a group (`commit_queue`): under one
hold of the lock, with one wait for the disk and one note in the index. Each change is still made
whole or not at all, and its caller continues only when it is on the disk. What is paid for waits
for the lock as long as it takes.

Pending changes lie in `.trash/pending/`. The same person's next process that opens the project or
writes settles what a killed process left. If all files are as the change found or wrote them, it is
finished. If another program has written since, that stays, the rest is undone, and the unwritten
bytes are kept in `.trash/unwritten/`.

A write-ahead log counts only with the seal of this person (`seal`). Any other is moved to
`.trash/foreign/` unparsed and named.

A claim is a lock on one byte of `.trash/claims`, at a place that follows from what is claimed. The
system frees it when its process ends, so no lease runs out.
"""
