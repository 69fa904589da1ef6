"""The commands: parse, call, print; nothing else."""

from nmt.waiting import wait_asleep

wait_asleep()
