"""Names, headings and helps of all commands, to list them without their rooms.

Generated, and compared with the catalogue by a test. To write it again:

    python tests/kiln_mcp/doors/cli/test_command_table.py
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

# ruff: noqa: E501

Range = tuple[float | None, float | None]
"""The least and the most that a number may be; None for no such bound."""


class Entry(NamedTuple):
    """What the table says of a capability's command.

    Attributes:
        heading: Where the help lists it.
        help: The short help.
        words: Users' words for it.
        needs: The arguments that it does not do without, but for a call with an approval's id.
        alternatives: Arguments of which it needs at least one.
        ranges: The least and the most of numbers; the list of tools that models see has none.
    """

    heading: str
    help: str
    words: str
    needs: tuple[str, ...]
    alternatives: tuple[str, ...]
    ranges: Mapping[str, Range]


OTHERS: Final[Mapping[str, str]] = {
    "allow": "Show or set the daily allowance: what may be spent without a question to you.",
    "approve": "Approve or decline the requests that wait for you: all of them, or the given IDs.",
    "demo": "Take a one-line wish to a measured, better prompt with the embedded model.",
    "doctor": "Look at all that a session needs, and say what is wrong and what to do.",
    "gate": "Say whether a run config may be released: exit code 0 pass, 1 fail, 2 cannot tell.",
    "install": "Register this server in a client's list of MCP servers, and check that it answers.",
    "label": "Label outputs one at a time: pass, fail, stars, with a reason if you like.",
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
        "status, overview, summary, summarise, progress, state, health, stand, recap, catch up, getting started, next steps, todo, plan, recommend, suggestions, advice, help, guide, problems, weaknesses, gaps, missing, lacking, before release or shipping, ready to ship, how far along, opened project, how are we doing, going, where to go from here, where were we, stuck, not sure, lost, come back, today, session, everything, biggest issue, risks, worry, tell me about, explain this project, forgot, forgotten something, is my setup any good, what state is it in, improve next, checklist, how complete, coverage, remind, left off, improve first",
        ("project",),
        (),
        {},
    ),
    "create-project": Entry(
        "Projects",
        "Start a project for an AI feature with its task, add a task, or import a project.",
        "new, begin, set up, setup, create, initialise, from scratch, workspace, chatbot, bot, assistant, agent, classifier, summariser, extractor, app, use case, product, another or second task, system prompt, open, clone, copy, bring in, unpack, unzip, archive, zip, tar, folder, git or GitHub repository, launch, launching, building, idea, recommender, translator, Kiln project, existing, on my disk, example project, use here, empty, blank, under test, from last year, write job ads, we want to build",
        (),
        ("name", "project", "copy_from"),
        {},
    ),
    "change-task": Entry(
        "Projects",
        "Edit a task's instruction (its system prompt), or the schemas of its inputs and outputs.",
        "update, modify, revise, adjust, rename, system message, description, output format, response format, structured output, JSON schema, input fields, add or remove a field, column, key, enum, property called, now contains, feature changed, make it answer in JSON, always, also, from now on, cite, confidence, category, number, optional, required, current instruction, prompt text, task name, wording of the instruction, task definition, outdated, model returns, returned field, task instruction, out of date, should return, a list instead of a string, text, edit the prompt of the task",
        ("project",),
        ("instruction", "output_schema", "input_schema", "plain_text"),
        {},
    ),
    "find": Entry(
        "Projects",
        "Search or list runs (inputs with outputs), specs, evals, prompts and all else in a project.",
        "look for, look up, filter, browse, show all, how many, outputs, answers, responses, logs, traces, conversations, examples, items, containing, mention, keyword, tagged, low rated, bad ratings, stars, thumbs down, recent, latest, oldest, judges, models, documents, settings, deleted, trash, recycle bin, pull up, everything, total, count, customers complained, asked, said, where it said, long, short, similar, got, exist, there are, overview of runs, duplicates, unrated, newest, last ten, table, do we have, have we got, which are saved, about, nobody has rated, every evaluator, list all",
        ("project",),
        (),
        {"limit": (1, 100)},
    ),
    "read": Entry(
        "Projects",
        "Open one run or record and show it in full, with its history if asked for.",
        "view, display, inspect, look at, details, detail, entire, whole, complete text, content, conversation, transcript, messages, steps, tool calls, configuration, by id or name, print, versions, exactly, replied, reply, said, look like, right now, current, this one, that one, last, next, who edited it, text of, show me, what does it say, called, full trace, output, record, entry",
        ("project", "record"),
        (),
        {"longest": (100, None)},
    ),
    "build-spec": Entry(
        "Specs",
        "Write specs of what a good output is: draft requirements, ask what is unclear, edit, save.",
        "define, describe, specify, criteria, acceptance criteria, rubric, rules, guidelines, policy, standards, expectations, quality bar, agree, good looks like, must, must not, never, always, allowed, forbidden, ambiguous, vague, contradictions, gaps, holes, questions, review, refine, tighten, edge cases, goal, behaviour, want it to, don't want, ever, may, should, need, requirement, change a requirement, testable, measurable, friendly, short, tone, polite, safe, safety, advice, legal, medical, misunderstood, wrong, too strict, first version, document, success, mean, what is good, definition, mean by, correct, helpful, wish, requirements, sentences, spec, requirements from a wish, ask me, formulate, have to contain, figure out what quality means, write requirements, define a failure",
        ("project",),
        ("wish", "sources", "spec", "fields", "session", "answers"),
        {"goal": (None, 1), "wait_s": (0, 300.0)},
    ),
    "add-data": Entry(
        "Data",
        "Load data: upload examples, test cases, logs or traces from a file, or add given items.",
        "import, add, bring in, pull in, ingest, feed, paste, save, CSV, Excel, spreadsheet, sheet, table, rows, JSONL, dataset, dump, Langfuse, LangSmith, Phoenix, OpenTelemetry, production conversations, chats, tickets, emails, questions and expected answers, labelled, ground truth, real data, logging system, use my file, desktop, folder, attached, below, pasted, here are, these, existing, already have, old, users, user chats, messages, records, column, label, new examples, examples I wrote, test data, test set, database, output of my system, parquet, transcripts, exported, sheet of golden answers, this example, input and output, use as examples, insert, helpdesk, export of another system, examples from a file, add data",
        ("project",),
        ("file", "items"),
        {},
    ),
    "generate-data": Entry(
        "Data",
        "Make up test cases: synthetic inputs by topic, edge case and clause, which the task answers.",
        "generate, create, invent, come up with, produce, synthesise, synthesize, fake, artificial, sample, more examples, questions, corner cases, tricky, rare, hard, difficult, adversarial, attacks, break it, jailbreak, red team, variety, varied, diverse, coverage, lack examples, not enough data, no data, personas, think of, think up, hundred, fifty, dozens, users could ask, user might say, imagine, simulate, small, too small, too few, only a few, cover, cases, Spanish, other languages, typos, long inputs, realistic, unusual, expand, augment, bigger dataset, write examples, test set, out of thin air, nasty, inputs, real users would ask, test cases, test data, synthetic data, topic tree, right answers, reference answers, minimal pairs, failing examples, from documents, anonymised, rewrite traces, simulated users, data plan",
        ("project",),
        (),
        {"count": (1, 1000), "wait_s": (0, 300.0)},
    ),
    "split-data": Entry(
        "Data",
        "Split data into train, validation, test and golden sets without leaks; freeze a version.",
        "divide, partition, separate, cut, training, dev, holdout, hold out, keep back, set aside, reserve, third, half, percent, 80/20, ratio, shares, leakage, leaking, contamination, overlap, duplicates, overfitting, unseen, peek, lock, pin, snapshot, fix, dataset version, reproducible, cite, release, trained on, tested on, evaluate on, percent for evaluation, twenty, eighty, part, parts, portion, random, same topic, similar, fair, cheat, cheating, seen before, sets, subset, keep the same, never change, mix, assign, between training and evaluation data, lock the test set, test set, split, held-out set, on one side",
        ("project", "name"),
        (),
        {},
    ),
    "report-data": Entry(
        "Data",
        "Report on a dataset: coverage, balance, variety, realism, leaks of its splits, and cost.",
        "data report, data quality, quality of the dataset, coverage, balance, balanced, class balance, diversity, varied, realistic, realism, like real users, gaps, missing topics, leaks, leakage, clean split, duplicates, statistics of the data, overview of the items, plots, charts, cost per item",
        ("project",),
        (),
        {},
    ),
    "mark-runs": Entry(
        "Data",
        "Rate outputs with stars or thumbs, tag them, or correct a wrong answer, as the person says.",
        "rating, score by hand, four stars, like, dislike, thumbs up, thumbs down, mark, good, bad, right, feedback, label, categorise, group, fix, correction, edit, repair, rewrite the answer, response, reply, should have been, should say, gold answer, golden, reference, production, great, nice, terrible, awful, perfect, useless, actually, would be, instead, the right answer, was wrong, incorrect, mistake, better answer, rate it, five stars, one star, bug, flag, favourite, favorite, remember, note, improve this output, replace the output, output with what I typed, too verbose, disliked, stars for an output",
        ("project", "runs"),
        ("stars", "scores", "add_tags", "remove_tags", "output"),
        {"stars": (0, 5)},
    ),
    "create-evaluator": Entry(
        "Evals",
        "Set up a judge, metric or check that grades outputs, and its eval if that is new.",
        "create, make, build, define, write, add, evaluator, eval, evaluation, LLM as a judge, scorer, grader, validator, assertion, rule, regex, pattern, exact match, contains, valid JSON, Python code, function, right tool called, length, measure tone, polite, helpfulness, correctness, faithfulness, hallucination, automatic score, decide whether, another model, follows, followed, policy, longer, shorter than, words, characters, count as failed, match the label, against the expected, automatically check, catch, detect, verify, flag, forbid, required field, numbers, threshold, criterion, points, compare with reference, new judge, judge prompt, politeness, made-up facts, mentions, competitors, brevity, grade answers, from one to five, set up an evaluation for a spec, set up an eval, new eval, judge, at most",
        ("project", "eval", "type"),
        (),
        {},
    ),
    "run-eval": Entry(
        "Evals",
        "Run an eval: test how good a prompt or model (run config) is, or how often outputs fail.",
        "start, execute, launch, evaluate, evaluation, measure, benchmark, assess, score, try, rerun, again, all examples, test set, tests, bot, feature, updated model, both prompts, how well, accuracy, quality, performance, baseline, regression test, after a change, release gate, batch, experiment, see how, how does it do, does it work, good enough, now, new version, against, check everything, go, whole dataset, all cases, thirty examples, try out, trial, judge all outputs, percent right, current prompt, compare models, candidates, production ready, pass, configurations, two configurations, variants, once more, still work, current version, kick off, start an evaluation, run the evaluation, eval, measure the pass rate, evaluate a prompt",
        ("project", "eval"),
        (),
        {"repeats": (1, 100), "judge_repeats": (1, 100), "wait_s": (0, 300.0)},
    ),
    "show-results": Entry(
        "Evals",
        "See the scores of evals, the failures (worst first), or compare whether A is better than B.",
        "results, report, scored, numbers, statistics, leaderboard, scoreboard, ranking, summary, pass rate, success rate, accuracy, last time, failed, failing, badly, errors, mistakes, went wrong, worst, why, comparison, versus, A/B test, difference, significant, winner, wins, really better, worse, regression, improved, last change, get better, got worse, did it help, noise, chance, luck, confidence, significantly, which one, better of two, side by side, outcome, examples went wrong, say about, explanation, reasons, table of scores, chart, previous run, compared to before, list evals, evals so far, did it pass, percent, how did it do, common errors, variants against each other, failing items, error analysis, failure report, which prompt won, accuracy of each model, accuracy drop, show results, where it fails",
        ("project",),
        (),
        {"limit": (1, 20)},
    ),
    "draw-items-to-label": Entry(
        "Judges",
        "Pick the next items for a person to grade or label, at random within the judge's verdicts.",
        "annotate, annotation, review, look at, labelling, labeling, manual, manually, by hand, human, expert, reviewer, queue, sample, random, ten, outputs, cases, examples, batch, give me, golden set, blind, spare time, worth checking, check a few, show some, few examples, grade by hand, I'd like to grade, want to rate, go through, next one, more, another, spot check, quality control, double check, validate by people, assign to reviewers, needs labels, unlabelled, unlabeled, start labelling, label some data, domain expert, needs a human look, pick a sample, what to label, label today, reviewers",
        ("project", "eval"),
        (),
        {"count": (1, 100), "wait_s": (0, 300.0)},
    ),
    "label-items": Entry(
        "Judges",
        "Save the grades that a person gave: pass or fail for each output, with the reason.",
        "store, record, enter, note, verdicts, verdict, labels, label, annotations, annotated, human, expert, annotator, reviewer, passes, fails, failed, ok, fine, acceptable, good, bad, rude, wrong, because, ground truth, judgement, opinion, for this item, numbers, both, all good, all others, correct, incorrect, true, false, agree, disagree, my answers, my grades, my ratings, graded, marked, rated, reviewed, looked at, decided, done labelling, here are my labels, colleague's labels, mark items as passing, first one fails, invents, items pass, items fail, my labels",
        ("project", "eval", "labels", "rater"),
        (),
        {},
    ),
    "check-judge": Entry(
        "Judges",
        "Check whether a judge can be trusted: how far it agrees with people's labels.",
        "trust, trustworthy, reliable, reliability, agree, agreement, accurate, accuracy, validate, verify, calibrate, calibration, align, alignment, bias, biased, strict, lenient, evaluator, grader, scorer, LLM, automatic scoring, humans, human, annotators, experts, between, kappa, correlation, false positives, doubt, how often, mistakes of the judge, believe, rely on, good judge, judge the judge, quality of the judge, meta evaluation, same as me, like me, like humans, matches, match, too harsh, too generous, sceptical, suspicious, correct grades, confident, enough labels, judge, LLM judge, compared with me",
        ("project", "eval"),
        (),
        {"target": (None, 1), "panel": (0, 8), "wait_s": (0, 300.0)},
    ),
    "verify-certificate": Entry(
        "Judges",
        "Verify a judge's certificate: is it as it was signed, does the project still give the same?",
        "authentic, forged, tampered, genuine, signature, signed, valid, proof, print, PDF, paper, auditor, compliance, still holds, expired, replay, check the certificate, is it real",
        ("file",),
        (),
        {},
    ),
    "improve-judge": Entry(
        "Judges",
        "Improve a judge: rewrite it from where it differs from people's development labels.",
        "refine, fix, correct, rewrite, better judge, align, alignment, calibrate, agree with me, judge prompt, grader, evaluator, rubric, criteria, steps, learn from my labels, from disagreements, from feedback, few-shot, examples, too strict, too lenient, too harsh, wrong verdicts, judge is wrong, misjudges, sharpen, tune the judge",
        ("project", "eval"),
        (),
        {"max_calls": (8, 100000), "wait_s": (0, 300.0)},
    ),
    "create-run-config": Entry(
        "Prompts",
        "Try another model, prompt or temperature: save a variant (run config) of how a task is run.",
        "switch to, use, swap, change, set, add, GPT, Claude, Gemini, Llama, Mistral, Haiku, OpenAI, smaller, larger, cheaper, faster, lower, higher, max tokens, few-shot examples, chain of thought, shorter, longer, new wording, version, variant, alternative, candidate, configuration, settings, parameters, instead, what if, use the prompt below, replace, current one, other, different, another, second prompt, provider, local model, new, setup, creative, deterministic, reasoning, thinking, examples in the prompt, saved prompt, as a variant, save it as, compare later, v2, prompt version, smarter, mini, bigger, bigger model, another LLM, try, upgrade, new prompt, other model, swap the model, run config, my own code, program under test, script, endpoint, HTTP API, MCP tools, agent with tools",
        ("project", "name"),
        (),
        {"temperature": (0, 2), "max_tokens": (1, 1000000)},
    ),
    "improve-prompt": Entry(
        "Prompts",
        "Improve a prompt, and prove the gain on held-out items.",
        "optimise, optimize, optimisation, optimization, optimizer, tune, tuning, rewrite, refine, automatically, system prompt, instructions, instruction, wording, prompt engineering, evolve, GEPA, DSPy, best, fewer errors, stop hallucinating, scores higher, raise accuracy, increase the pass rate, fix failures, over night, work on it, until it passes, not good enough, good enough, make better, improvement, suggest, learn from failures, from the feedback, from labels, using the failures, iterate, experiment, variants, find the best prompt, stronger, more accurate, mistakes, stop making, generate prompts, candidate prompts, do it for me, on the training examples, prompt needs to get better, prompt, better prompt, improve the prompt",
        ("project", "eval", "start"),
        (),
        {"max_calls": (16, 100000), "wait_s": (0, 300.0)},
    ),
    "improve-prompt-for-models": Entry(
        "Prompts",
        "Improve a prompt for several models in one search: what one's failures teach, all try.",
        "two models at once, several models, cheaper model, small model, switch models, migrate, same prompt for another model, which model, cost against quality, table of models, optimize for each model, shared lessons",
        ("project", "eval", "starts"),
        (),
        {"max_calls": (32, 100000), "wait_s": (0, 300.0)},
    ),
    "show-prompt-search": Entry(
        "Prompts",
        "Show what a search tried, also while it runs: tree, lessons, curve, Pareto set, differences.",
        "progress, watch, live, tree, candidates, lessons, curve, Pareto, what was tried, diff, difference, rejected edits, history of the optimization, report, Markdown, why this prompt, optimizer log, evolution",
        ("project", "eval"),
        (),
        {},
    ),
    "explain-prompt": Entry(
        "Prompts",
        "Explain what each sentence of a prompt earns: each is left out on the same items.",
        "which sentence helps, which line matters, ablation, leave out, credit, attribution, useless, harmful, shorten, compress, prune, dead weight, few-shot examples worth, why does this prompt work, contribution",
        ("project", "eval", "run_config"),
        (),
        {"max_calls": (16, 100000), "wait_s": (0, 300.0)},
    ),
    "export": Entry(
        "Tuning",
        "Export to a file: download runs as a table, save training data, back up a whole project.",
        "write out, dump, extract, backup, archive, zip, send, hand over, share, transfer, CSV, Excel, spreadsheet, JSON, JSONL, Parquet, all results, outputs, everything, fine-tuning, fine-tune, finetune, train a small model, training set, SFT, OpenAI format, chat format, Hugging Face, pandas, colleague, migrate, offline copy, save to disk, file for my boss, report file, in a spreadsheet, Google Sheets, get the data out, take out, copy of, all examples, dataset file, train our own, distil, distill, distillation, LoRA, Unsloth, Fireworks, Together, upload elsewhere, zip the project, move to another computer, snapshot, safe copy, document, publish, get me, ratings as csv, pack, prepare a dataset",
        ("project",),
        ("file",),
        {},
    ),
    "train-model": Entry(
        "Tuning",
        "Train a model on a frozen split (fine-tuning), hosted or here, and save how to run it.",
        "fine-tune, fine-tuning, finetune, tune, tuning, train, training, teach, LoRA, adapter, SFT, supervised, own model, custom model, small model, cheaper model, distil, distillation, OpenAI, Fireworks, Together, Vertex, Gemini, hosted, epochs, learning rate, local, on my machine, GPU, CPU, Hugging Face, PEFT, QLoRA, dry run, how long, memory",
        ("project", "split", "provider", "base_model"),
        (),
        {"wait_s": (0, 300.0)},
    ),
    "sweep-trainings": Entry(
        "Tuning",
        "Train every base with every prompt and parameter (a sweep), and compare all of them once.",
        "sweep, grid search, hyperparameter search, hyperparameters, tune settings, learning rates, ranks, epochs, several bases, which base, try several, compare tuned models, best fine-tune, ablation, leaderboard of fine-tunes, tuned with the best prompt",
        ("project", "split", "eval", "provider", "base_models", "compare"),
        (),
        {"wait_s": (0, 300.0)},
    ),
    "distil-model": Entry(
        "Tuning",
        "Distil a stronger run config into a model: its outputs are verified, then learnt.",
        "distil, distill, distillation, teacher, student, stronger model, big model to small model, learn from GPT, imitate, synthetic outputs, verified outputs, rejection sampling, from a spec to a model, cheaper model as good",
        ("project", "teacher", "provider", "base_model"),
        ("spec", "eval"),
        {"wait_s": (0, 300.0)},
    ),
    "check-job": Entry(
        "Jobs",
        "Wait for a job and see its progress, costs and result; without an id, list the newest jobs.",
        "jobs, status, state, done, finished, finish, ready, complete, still running, currently, at the moment, going on, how long, how far, remaining, left, ETA, waiting, background work, queue, cost, spent, spend, spending, budget, tokens, money, so far, yet, failed, happened, news, any news, update, started, going, stuck, hang, slow, taking so long, when, soon, minutes, already, result of the job, last job, list jobs, tell me when, burn, burned, dollars, price, percent, processed, working on, busy, show progress, are we done, is it done, how far along",
        (),
        (),
        {"seconds": (0, 30.0), "count": (1, 100)},
    ),
    "stop-job": Entry(
        "Jobs",
        "Stop a running job: cancel it at once, or pause it; its results are kept.",
        "abort, kill, end, quit, terminate, interrupt, halt, hold, suspend, until tomorrow, background, expensive, too long, costs too much, money, mistake, never mind, stuck, enough, pause it, stop everything, don't continue, wait, no more, cut short, early, picked the wrong, changed my mind, forget it, shut down, cancel the job, jobs, all jobs, current, process, work, for now, later, tonight, break",
        ("job",),
        (),
        {},
    ),
    "resume-job": Entry(
        "Jobs",
        "Resume a job that failed, was paused, cancelled or set aside, or spent its budget.",
        "continue, carry on, pick up, go on, restart, retry, rerun, again, unpause, crash, crashed, halfway, interrupted, error, failure, stopped, raise the limit, more budget, left off, unfinished, finish, ran out, give more, more money, dollars, higher limit, laptop was closed, computer restarted, power, connection lost, network error, rate limit, continue the job, proceed, keep going, complete the rest, paused yesterday, start again, second attempt, broke, died",
        ("job",),
        (),
        {},
    ),
    "answer-work-orders": Entry(
        "Jobs",
        "Answer what waits for you as the model `host`; get the next questions, or the job's result.",
        "host, act as or be the model, assistant, chat, subscription, without an API key, no key, waiting, pending, open questions, work orders, batch, reply, respond, play the model, local, free, answer in place of, answer the prompts, answer the questions, take orders, order, next question, use Claude itself, use this chat, use yourself, generate here, inline, human in place of the model, manual answers, outputs by hand, no external model, questions of a job",
        (),
        (),
        {"most_tokens": (500, 100000), "wait_s": (0, 60.0)},
    ),
    "sync-project": Entry(
        "Team",
        "Share a project with others: save its history, bring in what they did, and send it all.",
        "push, pull, fetch, send, upload, publish, commit, git, GitHub, GitLab, remote, repository, merge, team, teammates, colleagues, coworkers, collaborate, collaboration, together, latest changes, up to date, invite, exchange, coworker, colleague, teammate, changed things, get them, get the newest, newest version, others, share with, same project, work with, back to, save my work, store on, online, server, cloud repository, branch, checkout, remote address, send everything, receive, exchange changes, update from",
        ("project",),
        (),
        {},
    ),
    "decide-conflict": Entry(
        "Team",
        "Decide between two people's values of one field, as the person wants it.",
        "merge conflict, conflicts, conflicting, resolve, solve, mine, ours, theirs, keep, both changed, edited the same, clash, choose, pick, version, disagree, after a sync, my version, her version, his version, their version, not hers, not his, take mine, take theirs, use theirs, colliding, collision, both edited, same field, different values, which one wins, changed twice, accept, override, after pulling, settle, open conflict",
        ("project", "conflict", "choice"),
        (),
        {"choice": (1, 3)},
    ),
    "settle-copy": Entry(
        "Team",
        "Take in a copy that a cloud drive left beside a record, or throw it away.",
        "conflicted copy, conflict copies, Dropbox, Google Drive, OneDrive, iCloud, Syncthing, synced folder, two versions, discard, keep, stray, delete it, copies, copy of a record, appeared, (1), second version, cloud drive, shared folder, take over, accept, reject, delete the copy, keep the copy, both versions, duplicate record, warning, conflicted, name of another computer, leftovers",
        ("project", "path", "choice"),
        (),
        {},
    ),
    "show-history": Entry(
        "Team",
        "Say who changed what and when, the latest first: in the project, or of one record.",
        "log, edited, edits, changes, author, versions, earlier, previous, old, audit, audit trail, blame, timeline, diff, commits, activity, since yesterday, last week, happened, touched, modified, who broke, who did, who wrote, who deleted, when was, why, reason, last changes, recent, record of changes, list of changes, how did it look, before, originally, evolution, of the, colleague, people, past, past versions, days ago",
        ("project",),
        (),
        {"limit": (1, 200)},
    ),
    "undo-change": Entry(
        "Team",
        "Undo a change, all of it or what it did to one record; later changes stay.",
        "revert, roll back, rollback, go back, back out, reset, earlier version, previous, old, before, mistake, oops, wrong edit, yesterday, this morning, last edit, cancel an edit, take it back, didn't mean, did not want, wrong, accidentally, by mistake, changed by accident, change back, as it was, how it was, old version, previous version, restore version, last thing, last step, latest change, my change, his change, this change, reverse, annul, drop change, was better before, put back old",
        ("project", "change"),
        (),
        {},
    ),
    "delete-records": Entry(
        "Team",
        "Put records of a kind into the trash, with all below them; restore brings them back.",
        "delete, remove, discard, throw away, drop, get rid of, clean up, cleanup, bin, duplicate, duplicates, obsolete, old, unused, junk, eliminate, erase, take out, remove the, remove an, broken, wrong, test entries, not needed, no longer needed, don't need, all from, imported, generated, outdated, mistaken, empty ones, half of, everything, project record, examples, spec",
        ("project", "kind", "records"),
        (),
        {},
    ),
    "restore": Entry(
        "Team",
        "Undelete: put a deleted record back where it was, with all that was below it.",
        "recover, bring back, get back, put back, removed, lost, accident, accidentally, by mistake, trash, recycle bin, rescue, retrieve, undelete, I deleted, deleted by, removed the wrong, wrong one, get it back, need it again, again, gone, disappeared, vanished, missing, accidentally deleted, unintentionally, out of the trash, reactivate, resurrect, bring it back",
        ("project", "key"),
        (),
        {},
    ),
    "empty-trash": Entry(
        "Team",
        "Remove the records in the trash for good.",
        "erase, purge, wipe, destroy, delete for ever, forever, permanently, permanent, irrevocably, clear, bin, recycle bin, free disk space, privacy, GDPR, deleted, really delete, delete for real, completely, fully, finally, unrecoverable, gone for good, get rid of for good, remove from disk, sensitive, secret, leaked, confidential, right to be forgotten, compliance, empty, clean, trashed, storage",
        ("project",),
        (),
        {},
    ),
    "list-models": Entry(
        "Models",
        "List the models that can be used: which are ready, their keys, abilities and prices.",
        "providers, provider, available, installed, configured, supported, choose, API key, API keys, credentials, GPT, Claude, OpenAI, Anthropic, Google, Gemini, Ollama, OpenRouter, local, offline, free, cheap, cheapest, pricing, cost per token, context size, vision, structured output, capabilities, default model, LLM, LLMs, models exist, work with, connect, set up, which models, best, strongest, fast, small, open source, embedded, built in, hosted, cloud, own server, vLLM, LM Studio, llama.cpp, Bedrock, Azure, Vertex, DeepSeek, Qwen, Mistral, keys missing, set, cost of, per million",
        (),
        (),
        {},
    ),
    "test-model": Entry(
        "Models",
        "Ask a model a few short questions, to see that it answers, how fast, and what it can do.",
        "ping, try, check, connection, connect, works, working, valid API key, key work, OpenAI, Anthropic, Ollama, credentials, login, reachable, available, respond, speed, latency, slow, slower, health, hello, tool calls, JSON mode, answers, answering, running, up, down, online, is it alive, test call, small request, sanity check, key accepted, key is right, quota, rate limit, timeout, error, broken, supports tools, supports JSON, can do, my server, endpoint, how fast, seconds, probe",
        ("model",),
        (),
        {},
    ),
}
"""Our own capabilities, in the catalogue's order."""
