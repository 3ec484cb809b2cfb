"""Show it: from the run record to pages, tables and dashboards."""
