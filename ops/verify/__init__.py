"""`infra verify ENV --live`: tests assumptions about AWS and Cloudflare in a deployed environment.

It tests those that would cost most if the documentation were wrong. Each check leaves the environment as it was. The
vendors' answers go to a dated file, with which rehearsal/evidence.py compares the simulators.
"""
