"""The methods: analyzers, rules and composites, and the registry that finds them by name."""
