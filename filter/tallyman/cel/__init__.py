"""The Common Expression Language (cel-spec), compiled once and evaluated per stream; sans-I/O.

`environment.Environment` compiles sources to `environment.Program`; `activation.Activation` supplies attributes.
"""
