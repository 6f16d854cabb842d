"""What runs inside the pods of a FineTuneJob: data -> model -> train -> evaluate -> publish.

The modules, each importing only what stands to the right of it:
`__main__ -> supervisor -> publish | evaluate | train | prepare -> outcome -> prepared | model | data ->
storage -> report | layout | config -> errors`. Up to and including `storage` nothing imports torch: a bad
run.json is told in 0.3 s.
"""
