"""Measure a machine, time the plans of a shape, explain a plan: for the command line."""
