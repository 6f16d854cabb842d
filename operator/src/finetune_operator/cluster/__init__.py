"""EFFECTS: the only package that talks to the API server and to pods.

`api` is the narrow interface that the rest of the operator knows; `client` speaks it with kubernetes.aio; `limiter` keeps the
rate; `access` finds the API server; `progress` asks pods how far they are.
"""
