"""The outside: kopf's watches, the HTTP pages, and the assembly of everything."""
