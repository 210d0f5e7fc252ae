"""What the configuration decides, compiled once: which action sets a request meets, and what each action asks for.

Sans-I/O: attributes come from an `Activation`, messages leave as bytes.
"""
