"""Samples: from a configuration and a sheet to what is to be converted, and what to make again."""
