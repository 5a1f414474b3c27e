"""Names, headings and helps of all commands, to list them without their rooms.

Generated, and compared with the catalogue by a test. To write it again:

    python tests/kiln_mcp/doors/cli/test_command_table.py
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

# ruff: noqa: E501


class Entry(NamedTuple):
    """What the table says of a capability's command.

    Attributes:
        heading: Where the help lists it.
        help: The short help.
        words: Users' words for it.
        needs: The arguments that it does not do without, but for a call with an approval's id.
    """

    heading: str
    help: str
    words: str
    needs: tuple[str, ...]


OTHERS: Final[Mapping[str, str]] = {
    "allow": "Show or set the daily allowance: what may be spent without a question to you.",
    "approve": "Approve or decline the requests that wait for you: all of them, or the given IDs.",
    "demo": "Take a one-line wish to a measured, better prompt with the embedded model.",
    "doctor": "Look at all that a session needs, and say what is wrong and what to do.",
    "install": "Register this server in a client's list of MCP servers, and check that it answers.",
    "models": "Manage models.",
    "projects": "List the opened projects, and assign a name to one of them.",
    "serve": "Serve MCP over HTTP at /mcp and run jobs: the daemon that clients share.",
    "skills": "Write the workflows as skills into a folder, such as ~/.claude/skills.",
    "trust": "Let a project run its own programs: code evaluators, tool servers.",
    "uninstall": "Remove this server from a client's list of MCP servers; nothing else changes there.",
    "worker": "Run jobs from a shared Postgres database until stopped; start any number of workers.",
}
"""Commands for setup and service, with their first paragraph."""

CAPABILITIES: Final[Mapping[str, Entry]] = {
    "describe-project": Entry(
        "Projects",
        "See where a project stands: what it holds, what is weak or missing, and what to do next.",
        "status, overview, where are we, what is missing or weak, what should I do next",
        ("project",),
    ),
    "create-project": Entry(
        "Projects",
        "Start a project for an AI feature with its task, add a task, or import a project.",
        "start something new, set up a workspace, begin testing my AI feature, open or clone or import a project from a folder, zip or git repository, add a task, system prompt",
        (),
    ),
    "change-task": Entry(
        "Projects",
        "Edit a task's instruction (its system prompt), or the schemas of its inputs and outputs.",
        "update my feature's system prompt, output format, JSON schema, fields",
        ("project",),
    ),
    "find": Entry(
        "Projects",
        "Search or list runs (inputs with outputs), specs, evals, prompts and all else in a project.",
        "list or look up outputs, logs, examples, traces, answers, bad ratings, tagged, recent, prompts, judges, models, documents, trash, recycle bin, what was deleted",
        ("project",),
    ),
    "read": Entry(
        "Projects",
        "Open one run or record and show it in full, with its history if asked for.",
        "view the whole answer, trace or conversation, a spec, prompt, eval or setting, versions, who edited it",
        ("project", "record"),
    ),
    "build-spec": Entry(
        "Specs",
        "Write a spec of what a good output is: draft requirements, ask what is unclear, edit, save.",
        "write or define what good looks like, criteria, rubric, rules, guidelines, quality bar, what is unclear, ambiguous, vague or missing, review and save the requirements",
        ("project",),
    ),
    "add-data": Entry(
        "Data",
        "Load data: upload examples, test cases, logs or traces from a file, or add given items.",
        "import CSV, Excel, spreadsheet, JSONL, dataset, ground truth, production conversations, my own questions and answers",
        ("project",),
    ),
    "generate-data": Entry(
        "Data",
        "Make up test cases: synthetic inputs by topic, edge case and clause, which the task answers.",
        "create, invent, generate or synthesise more examples, fake data, sample questions, cover rare situations, not enough data",
        ("project",),
    ),
    "split-data": Entry(
        "Data",
        "Split data into train, validation, test and golden sets without leaks; freeze a version.",
        "divide, partition, hold out, training and evaluation set, contamination, duplicates, lock or pin the dataset version, snapshot",
        ("project", "name"),
    ),
    "mark-runs": Entry(
        "Data",
        "Rate outputs with stars or thumbs, tag them, or correct a wrong answer, as the person says.",
        "mark good or bad, thumbs up, thumbs down, give feedback, group or categorise examples, fix, edit, rewrite or repair a response, should have been, gold answer",
        ("project", "runs"),
    ),
    "create-evaluator": Entry(
        "Evals",
        "Set up a judge, metric or check that grades outputs, and its eval if that is new.",
        "set up a judge, LLM as a judge, scorer, grader, metric, check, regex, assertion",
        ("project", "eval", "type"),
    ),
    "run-eval": Entry(
        "Evals",
        "Run an eval: test how good a prompt or model (run config) is; get scores and pass rates.",
        "test, measure, benchmark, pass rate, accuracy, regression, how good is it",
        ("project", "eval"),
    ),
    "show-results": Entry(
        "Evals",
        "See the scores of evals, the failures (worst first), or compare whether A is better than B.",
        "report, leaderboard, what went wrong, errors, A/B test, which of two models or prompts wins, significant difference, better or worse, regression, list evals",
        ("project",),
    ),
    "draw-items-to-label": Entry(
        "Judges",
        "Pick the next items for a person to grade or label, at random within the judge's verdicts.",
        "annotate, review, what should I grade next, human labelling queue",
        ("project", "eval"),
    ),
    "label-items": Entry(
        "Judges",
        "Save the grades that a person gave: pass or fail for each output, with the reason.",
        "save my pass or fail, annotations, human grades, verdicts, ground truth labels",
        ("project", "eval", "labels", "rater"),
    ),
    "check-judge": Entry(
        "Judges",
        "Check whether a judge can be trusted: how far it agrees with people's labels.",
        "can I trust the judge, accuracy, calibrate, align with humans, kappa",
        ("project", "eval"),
    ),
    "create-run-config": Entry(
        "Prompts",
        "Try another model, prompt or temperature: save a variant (run config) of how a task is run.",
        "switch to GPT, Claude, Gemini or a cheaper model, new prompt version, new wording, settings, configuration, set up a candidate",
        ("project", "name"),
    ),
    "improve-prompt": Entry(
        "Prompts",
        "Improve a prompt: search for a better one and prove the gain on held-out items.",
        "optimise, optimize, tune, rewrite or refine my prompt automatically, better instructions, prompt engineering, GEPA, DSPy, fewer errors",
        ("project", "eval", "start"),
    ),
    "export": Entry(
        "Tuning",
        "Export to a file: download runs as a table, save training data, back up a whole project.",
        "CSV, Excel, JSON, JSONL or Parquet, zip or archive everything, send to a colleague, fine-tune or train a small model, OpenAI format, SFT, dump",
        ("project",),
    ),
    "check-job": Entry(
        "Jobs",
        "Wait for a job and see its progress, costs and result; without an id, list the newest jobs.",
        "progress, is it done or finished, wait, status, background work, what is running, queue, how long does it take, cost so far, how much did it spend",
        (),
    ),
    "stop-job": Entry(
        "Jobs",
        "Stop a running job: cancel it at once, or pause it; its results are kept.",
        "cancel, abort, kill, interrupt, halt or hold what is running, it costs too much",
        ("job",),
    ),
    "resume-job": Entry(
        "Jobs",
        "Resume a job that failed, was paused, cancelled or set aside, or spent its budget.",
        "retry or restart after a failure, pause or budget limit",
        ("job",),
    ),
    "answer-work-orders": Entry(
        "Jobs",
        "Answer what waits for you as the model `host`; get the next questions, or the job's result.",
        "you are the model, host, answer waiting questions yourself without an API key",
        (),
    ),
    "sync-project": Entry(
        "Team",
        "Share a project with others: save its history, bring in what they did, and send it all.",
        "push, pull, get colleagues' changes, upload to git or GitHub, merge, git remote, collaborate, work with my team",
        ("project",),
    ),
    "decide-conflict": Entry(
        "Team",
        "Decide between two people's values of one field, as the person wants it.",
        "resolve a merge conflict, mine or theirs",
        ("project", "conflict", "choice"),
    ),
    "settle-copy": Entry(
        "Team",
        "Take in a copy that a cloud drive left beside a record, or throw it away.",
        "conflicted copy of Dropbox, Google Drive, OneDrive or iCloud",
        ("project", "path", "choice"),
    ),
    "show-history": Entry(
        "Team",
        "Say who changed what and when, the latest first: in the project, or of one record.",
        "who changed what, log, versions, audit, blame",
        ("project",),
    ),
    "undo-change": Entry(
        "Team",
        "Undo a change, all of it or what it did to one record; later changes stay.",
        "revert, roll back, go back to an earlier version",
        ("project", "change"),
    ),
    "delete-records": Entry(
        "Team",
        "Put records of a kind into the trash, with all below them; restore brings them back.",
        "remove, discard or throw away examples, specs, evals, prompts",
        ("project", "kind", "records"),
    ),
    "restore": Entry(
        "Team",
        "Undelete: put a deleted record back where it was, with all that was below it.",
        "undelete, restore or recover something deleted",
        ("project", "key"),
    ),
    "empty-trash": Entry(
        "Team",
        "Remove the records in the trash for good.",
        "erase for ever, purge deleted data, privacy",
        ("project",),
    ),
    "list-models": Entry(
        "Models",
        "List the models that can be used: which are ready, their keys, abilities and prices.",
        "which models or providers can I use, API keys, prices, local models, Ollama",
        (),
    ),
    "test-model": Entry(
        "Models",
        "Ask a model a few short questions, to see that it answers, how fast, and what it can do.",
        "is my API key working, ping, connection check, speed of a model",
        ("model",),
    ),
}
"""Our own capabilities, in the catalogue's order."""
