"""`weir import`: history from CSV and Parquet files, through the same checks and the same archive as what is live."""
