"""What runs inside the pods of a FineTuneJob: data -> model -> train -> evaluate -> publish.

The modules, each importing only what stands to the right of it:
`__main__ -> command -> supervisor | prepare | rank -> fine_tuning -> publish | evaluate | train -> outcome ->
prepared | model | data -> storage -> report | layout | config -> errors`. Only `fine_tuning` and what it leads to
imports torch, in processes of their own (docs/decisions/0006): a bad run.json is told in 0.3 s.
"""
