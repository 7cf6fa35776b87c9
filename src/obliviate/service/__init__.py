"""The service: an HTTP API and a dashboard of a project, for people and programs that have no shell on its machine.

It submits, shows and verifies, and never computes: no torch is imported. The work is done by `obliviate work`.
"""
