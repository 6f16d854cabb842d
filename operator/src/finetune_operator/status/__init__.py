"""PURE: what was observed -> what the job's status says.

`judge` says how an attempt ended, `starting` why a pod does not start, `results` what a last word brought; `compose` makes the
whole status of it, `transitions` the Events, `size` keeps it within 32 KiB.
"""
