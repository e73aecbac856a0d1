//! How well classes are apart.

use super::neighbours::Neighbours;

/// Neighbours that say a point's class.
pub const KNN: usize = 10;

/// How well the classes of points are apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Separability {
    /// Mean silhouette (Rousseeuw 1987), -1 to 1, by Euclidean distances; a point that is alone in its class counts as 0.
    pub silhouette: f64,
    /// Share of the points whose class is that of most of their [`KNN`] nearest neighbours; where classes have equally many of them, the
    /// class that is nearest.
    pub knn_accuracy: f64,
}

impl Separability {
    /// Of points with these neighbours. At least two of the classes must have points.
    pub fn of(neighbours: &Neighbours, class_of: &[u32], classes: usize) -> Self {
        let mut sizes = vec![0_usize; classes];
        class_of.iter().for_each(|&class| sizes[class as usize] += 1);
        let count = class_of.len() as f64;
        let sums = neighbours.class_distances.chunks_exact(classes);
        let silhouettes = sums.zip(class_of).map(|(sums, &own)| silhouette(sums, own as usize, &sizes));
        let k = neighbours.k.min(KNN);
        let nearest = neighbours.indices.chunks_exact(neighbours.k).map(|row| vote(&row[..k], class_of, classes));
        let right = nearest.zip(class_of).filter(|(voted, own)| voted == *own).count();
        Self { silhouette: silhouettes.sum::<f64>() / count, knn_accuracy: right as f64 / count }
    }
}

fn silhouette(sums: &[f64], own: usize, sizes: &[usize]) -> f64 {
    if sizes[own] < 2 {
        return 0.0;
    }
    let inside = sums[own] / (sizes[own] - 1) as f64;
    let others = (0..sizes.len()).filter(|&class| class != own && sizes[class] > 0);
    let outside = others.map(|class| sums[class] / sizes[class] as f64).fold(f64::INFINITY, f64::min);
    let larger = inside.max(outside);
    if larger > 0.0 && larger.is_finite() { (outside - inside) / larger } else { 0.0 }
}

fn vote(nearest: &[u32], class_of: &[u32], classes: usize) -> u32 {
    let mut votes = vec![0; classes];
    nearest.iter().for_each(|&point| votes[class_of[point as usize] as usize] += 1);
    let most = votes.iter().copied().max().unwrap_or(0);
    let winner = nearest.iter().map(|&point| class_of[point as usize]).find(|&class| votes[class as usize] == most);
    winner.unwrap_or(0)
}
