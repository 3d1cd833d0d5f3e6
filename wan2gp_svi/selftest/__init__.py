"""The user's own WanGP, run with tiny models, checked: `wan2gp-svi selftest`.

    commands.py   the command: finds WanGP, runs the passes, prints the table, keeps the record
    copying.py    a private copy of WanGP's code, so that nothing of the user's is read or changed
    running.py    is WanGP running?
    child.py      one pass, in a process of its own with WanGP's Python: scenarios in, facts out
    scenarios.py  what is generated
    host.py       wgp.py started with stand-ins, a task through its real queue
    tiny.py       tiny seeded models of WanGP's own classes
    recording.py  what a window was given and what came out
    cpu_shim.py   lets WanGP run without CUDA; absent/ holds packages that it can do without then
    facts.py      what the passes found, as arrays and numbers
    checks.py     pure functions: facts in, a finding for each line of the table out
    report.py     the table; the file to attach to a report

The tests of the real WanGP (tests/real_wangp) drive it with the same host.
"""
