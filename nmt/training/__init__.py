"""From prepared/ and a configuration to a model folder."""
