"""How each kind of model is reached: hosted, servers, llama.cpp, the host.

Keys come from the environment or the keyring, and enter no file and no log. The embedded model is
one llama.cpp instance of one thread a core, two at most. Neither it nor the host has tool calls of
its own: `prompted_tools` gives them some by the answer's schema.

A work order for the host is handed out only while a process waits for its answer. The client that
took it is handed it again when it asks. Other clients get it 300 s after the taking, or at once
when the client ends its session.

A server that refuses a JSON schema is asked for any object, then in words.
"""
