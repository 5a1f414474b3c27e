"""The settings and environment of every git command: no hook, no prompt, no foreign program."""

import os

from storage.git.attributes import RULES

SETTINGS = (
    "core.quotePath=false",
    "core.autocrlf=false",
    "core.safecrlf=false",
    f"core.attributesFile={RULES}",
    "core.fileMode=false",
    "core.fsmonitor=false",
    f"core.hooksPath={os.devnull}",
    "fetch.recurseSubmodules=false",
    # A nested repository has settings of its own, which these do not override.
    "push.recurseSubmodules=no",
    "submodule.recurse=false",
    "status.submoduleSummary=false",
    "diff.ignoreSubmodules=all",
    "log.showSignature=false",
    "push.gpgSign=false",
    "commit.gpgSign=false",
    "tag.gpgSign=false",
    "i18n.logOutputEncoding=UTF-8",
    "protocol.ext.allow=never",
    "protocol.fd.allow=never",
    "http.lowSpeedLimit=100",
    "http.lowSpeedTime=30",
)
"""Settings of every command, which override those of the folder and of the person."""
NO_PROMPTS = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "",
    "SSH_ASKPASS": "",
    "GCM_INTERACTIVE": "never",
    "LC_ALL": "C",
}
"""Environment variables that make git fail instead of asking for a password."""
READ_NO_FILES = frozenset(
    {
        *("cat-file", "check-attr", "check-ignore", "commit-tree", "config", "diff-tree", "init"),
        *("for-each-ref", "log", "ls-files", "ls-remote", "ls-tree", "merge-base", "remote"),
        *("rev-list", "rev-parse", "show-ref", "symbolic-ref", "update-ref", "fetch", "push"),
    }
)
"""The commands that read no file of the folder, not even to refresh the index."""
SSH_OPTIONS = "-oBatchMode=yes -oConnectTimeout=15 -oServerAliveInterval=15 -oServerAliveCountMax=2"
"""Options that make ssh fail instead of asking, and bound its waits."""
