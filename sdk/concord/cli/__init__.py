"""The command line `concord`."""
