// Package locustcli reads the command line of Locust: it splits a command into words as a shell does, expands variables as the
// kubelet does, and parses options as Locust's argument_parser.py does, 2.12 to 2.47. It is pure.
package locustcli
