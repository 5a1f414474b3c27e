"""Logic that users supply, run in worker processes with limits on time and memory.

`pool` asks the workers; `patterns` and `schemas` answer at once what is known to be cheap.
A worker imports this package, so nothing is imported here.

An item has 2 s and 512 MB. A watchdog kills the worker of a late item; the system limits the
address space (not on macOS). A breach, a crash or an exception costs that item alone. A worker has
an empty environment, no open files and its own session, and ends with its parent. Messages are
JSON and nothing is unpickled, so a worker taken over by its code can only answer wrongly. Items of
one logic share a message. One logic never takes all workers.

`code` and `commands` are confined: `landlock` takes all files but a scratch folder and libraries;
`system_calls` takes the network and other processes. `bubblewrap` stands in for Landlock if it is
installed. `protection` tries what holds here, and says what does not. A supervisor (`launcher`)
ends a command with all that it started, also when this program is killed.

Known to be cheap: a pattern that RE2 runs with the meaning of `re`, with its size times the text
bounded; and a schema without keywords that may be slow, with its size times the value bounded. A
schema is saved only if each `$ref` leads within it and none returns to the same value.
"""
