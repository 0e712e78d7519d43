"""The networks a metric looks through, their weights, and how they were trained."""
