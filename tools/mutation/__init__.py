"""The parts of `make mutants`: what is changed, and how its tests meet it."""
