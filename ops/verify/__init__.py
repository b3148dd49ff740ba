"""`infra verify ENV --live`: tries, in a deployed environment, what would cost most if the documentation were wrong.

Each check leaves the environment as it was. What AWS and Cloudflare answered is written to a dated file, which the
tests of the simulators read (tests/rehearsal/test_evidence.py): one adopter's first hour becomes everybody's fact.
"""
