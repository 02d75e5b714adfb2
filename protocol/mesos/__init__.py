"""The Mesos v1 scheduler and operator HTTP APIs as values (Mesos 1.0 to 1.11)."""
