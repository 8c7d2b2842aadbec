"""Chat models: from a string to a model, structured answers, and the offline model."""
