"""Parts of HTML that notebooks and pages show: tables, bars and curves, readable on light and dark backgrounds."""
