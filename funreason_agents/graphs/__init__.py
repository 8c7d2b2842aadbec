"""The four graphs: environment explorer, query writer, reasoner/critic, supervisor."""
