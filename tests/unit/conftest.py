"""What holds for all unit tests."""

import hypothesis

# An example's time says how busy the machine is, and nothing of the code. In CI hypothesis has no deadline by itself.
hypothesis.settings.register_profile("untimed", hypothesis.settings(), deadline=None)
hypothesis.settings.load_profile("untimed")
