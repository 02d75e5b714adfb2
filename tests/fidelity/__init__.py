"""The same scripts of calls against the simulated Mesos and a real one, and what they heard."""
