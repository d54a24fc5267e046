"""Loads an export by ViRelAy's own code and compares what it sees with the files: python tools/check_virelay.py FOLDER.

It runs in an environment of its own, which needs Python 3.11.13 or later: pip install virelay==1.0.0 corelay
"""

import sys
from pathlib import Path

import h5py
import numpy as np
from virelay.model import Project
from virelay.server import Server, Workspace


def check(folder: Path) -> None:
    """Raise AssertionError if a project of the folder is not what its files say."""
    projects = sorted(folder.glob("*.project.yaml"))
    assert projects, f"{folder}: no projects"
    for path in projects:
        project = Project(str(path))
        method = path.name.removesuffix(".project.yaml")
        check_entries(project, folder, method)
        seen = check_analyses(project, folder, method)
        project.close()
        print(f"{path.name}: {len_of(folder)} entries, {seen} analyses as in the files")
    check_pages(projects)


def len_of(folder: Path) -> int:
    """How many entries there are."""
    with h5py.File(folder / "dataset.h5") as file:
        return len(file["data"])


def check_entries(project: Project, folder: Path, method: str) -> None:
    """Samples, maps, labels and predictions."""
    with h5py.File(folder / "dataset.h5") as data, h5py.File(folder / f"{method}.attribution.h5") as maps:
        assert len(data["data"]) == len(maps["attribution"]) == len(maps["prediction"]) == len(maps["label"])
        for index in range(0, len(data["data"]), max(1, len(data["data"]) // 50)):
            sample, found = project.get_sample(index), project.get_attribution(index)
            assert np.array_equal(sample.data, data["data"][index])
            assert np.array_equal(found.data, maps["attribution"][index])
            assert np.array_equal(found.prediction, maps["prediction"][index])
            assert [label.index for label in sample.labels] == [label.index for label in found.labels] == [data["label"][index]]
            for colours in ("black-fire-red", "blue-white-red"):
                assert found.render_heatmap(colours).shape == sample.data.shape
                assert found.render_heatmap(colours, sample.data).shape == sample.data.shape


def check_analyses(project: Project, folder: Path, method: str) -> int:
    """Clusters and embeddings, each that is offered of each class; returns how many there are."""
    seen = 0
    for analysis in project.get_analysis_methods():
        with h5py.File(folder / f"{method}.analysis.h5") as file:
            for category in project.get_analysis_categories(analysis):
                assert category.human_readable_name, f"{category.name} has no name"
                for clustering in project.get_analysis_clustering_names(analysis):
                    for embedding in project.get_analysis_embedding_names(analysis):
                        found, group = project.get_analysis(analysis, category.name, clustering, embedding), file[category.name]
                        assert np.array_equal(found.clustering, group["cluster"][clustering])
                        assert np.array_equal(found.embedding, group["embedding"][embedding])
                        assert np.array_equal(found.attribution_indices, group["index"])
                        seen += 1
    return seen


def check_pages(projects: list[Path]) -> None:
    """What the server answers for the first entry of each project."""
    workspace = Workspace()
    for path in projects:
        workspace.add_project(str(path))
    client = Server(workspace).app.test_client()
    for number in range(len(projects)):
        base = f"/api/projects/{number}"
        for address in (base, f"{base}/dataset/0", f"{base}/dataset/0/image", f"{base}/attributions/0?imageMode=overlay"):
            assert client.get(address).status_code == 200, address
        for answer in client.get(base).json["analysisMethods"]:
            for category in answer["categories"]:
                chosen = f"category={category['name']}&clustering={answer['clusterings'][0]}&embedding={answer['embeddings'][0]}"
                assert client.get(f"{base}/analyses/{answer['name']}?{chosen}").status_code == 200
        assert client.get(f"{base}/attributions/0/heatmap?colorMap=black-fire-red&superimpose=true").mimetype == "image/jpeg"
    workspace.close()


if __name__ == "__main__":
    check(Path(sys.argv[1]))
