"""What the data is for: questions about music, answered from the warehouse's views."""
