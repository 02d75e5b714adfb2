"""The world as a fake: Mesos master and agents, hosts and disks, Gateway; fault dials; checkers."""
