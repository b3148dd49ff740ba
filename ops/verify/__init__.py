"""`infra verify ENV --live`: tries, in a deployed environment, what would cost most if the documentation were wrong.

Each check leaves the environment as it was. What AWS and Cloudflare answered is written to a dated file, which the
simulators are held to (rehearsal/evidence.py): one adopter's first hour becomes everybody's fact.
"""
