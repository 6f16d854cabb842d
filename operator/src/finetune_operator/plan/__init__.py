"""PURE: a FineTuneJob and its profile -> complete manifests. No clock, no client, no environment.

`accept` resolves a job into a `RunPlan`, once; the other modules turn a RunPlan into one kind of child each.
"""
