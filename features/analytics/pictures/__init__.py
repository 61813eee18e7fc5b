"""Pictures of journeys as SVG: the same in the page, the report and the notebook."""
