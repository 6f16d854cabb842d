"""The API, finetune.dev/v1alpha1, as frozen values.

`job` and `profile` are the two kinds; `sources`, `recipe` and `running` are the parts of a job's spec; `status` is what we say
about it; `schema` turns all of it into the CustomResourceDefinitions of `crds/`. These models are the only place where a field
is declared: the CRDs are generated from them, and a test holds the two together.
"""
