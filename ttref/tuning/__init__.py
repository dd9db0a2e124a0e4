"""Measure a machine, time the plans of a TT layer, explain a plan: for the command line."""
