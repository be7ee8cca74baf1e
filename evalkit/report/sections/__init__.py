"""The sections of the page, one file each: results in; words, figures and tables out."""
