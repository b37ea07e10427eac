"""The PDF report, its signature and its verification."""
