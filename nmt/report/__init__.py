"""One kit for reports and explanations: documents, tables, pictures, and the templates of their pages."""
