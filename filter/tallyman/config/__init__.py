"""The plugin configuration: JSON in, typed objects out; every error names its JSON path. Sans-I/O."""
