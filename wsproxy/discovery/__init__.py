"""Servers that are found at run time: in DNS, in a file, in Kubernetes."""
