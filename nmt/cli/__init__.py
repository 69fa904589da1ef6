"""The commands: parse, call, print; nothing else."""

from nmt.waiting import choose_waiting

choose_waiting()
