//! What is in the files.

use candle_core::{Device, Tensor};
use half::{bf16, f16};
use permafrost_worker::{
    encoders::{
        dinov2::{Dinov2, Interpolation},
        pixels::{self, DinoPixels},
    },
    images::{self, Limits},
    protocol::FailureClass,
    task::{Dtype, Encoder, Output, Pixels},
};

use super::support::{Home, PIXELS, dinov2, fixture};

/// Files of all formats.
const FILES: [&str; 7] =
    ["grey8.png", "grey16.png", "rgb8.png", "grey.jpg", "rgb_420.jpg", "u12_extras.dcm", "rle_i16.dcm"];

fn collection() -> Home {
    let images = FILES.map(|file| (format!("id of {file}"), Some(format!("files/{file}")))).to_vec();
    Home::new(images, |root| {
        std::fs::create_dir(root.join("files")).unwrap();
        for file in FILES {
            std::fs::copy(fixture("images").join(file), root.join("files").join(file)).unwrap();
        }
    })
}

/// Pooled output and tokens of a file, by the encoder itself.
fn direct(model: &Dinov2, file: &str) -> [Vec<f32>; 2] {
    let image = images::read(&fixture("images").join(file), &Limits::default()).unwrap();
    let image = image.resized_longest(PIXELS.resize).unwrap().padded_square().centre_crop(PIXELS.crop).unwrap();
    let levels: Vec<f32> = image.pixels().iter().map(|level| f32::from(*level)).collect();
    let values = pixels::dinov2(&levels, DinoPixels::ImageNet);
    let input = Tensor::from_vec(values, (1, 3, PIXELS.crop, PIXELS.crop), &Device::Cpu).unwrap();
    let features = model.forward(&input, 1).unwrap();
    [features.pooled, features.tokens].map(|tensor| tensor.flatten_all().unwrap().to_vec1().unwrap())
}

#[test]
fn they_are_the_encoders_and_all_members_share_one_pass() {
    let home = collection();
    let tasks = [
        home.embed(Output::Pooled, Dtype::F32),
        home.embed(Output::Tokens, Dtype::F32),
        home.embed(Output::Tokens, Dtype::F16),
        home.embed(Output::Pooled, Dtype::Bf16),
    ];
    let members = home.run_tasks(&tasks);
    let model = Dinov2::load(&fixture("vision/dinov2"), Interpolation::Size, &Device::Cpu).unwrap();
    for (task, member) in tasks.iter().zip(&members) {
        assert_eq!(member.encoded(), FILES.len(), "{:?}", member.log);
        assert_eq!(member.rows, FILES.len() as u64);
        let (summary, _) = member.done();
        let expected =
            [("samples", 7.0), ("samples_missing", 0.0), ("images_damaged", 0.0), ("files", 7.0), ("width", 32.0)];
        for (name, value) in expected {
            assert_eq!(summary[name], value, "{name}");
        }
        let embeddings = home.open(member);
        for file in FILES {
            let [pooled, tokens] = direct(&model, file);
            let id = format!("id of {file}");
            let (found, expected) = match task.output {
                Output::Pooled => (embeddings.get(&id).unwrap(), pooled),
                _ => (embeddings.tensor("tokens").unwrap().get(&id).unwrap(), tokens),
            };
            let kept = |value: f32| match task.dtype {
                Dtype::F32 => value,
                Dtype::F16 => f16::from_f32(value).to_f32(),
                Dtype::Bf16 => bf16::from_f32(value).to_f32(),
            };
            let expected: Vec<f32> = expected.into_iter().map(kept).collect();
            assert_eq!(*found, expected, "{file} as {task:?}");
        }
    }
}

#[test]
fn threads_change_no_bit_of_a_file() {
    let home = Home::noise(70);
    let tasks = [home.embed(Output::Tokens, Dtype::F32), home.embed(Output::Pooled, Dtype::F32)];
    let run = |threads| {
        let leases = tasks.iter().map(|task| home.lease(task, threads, vec![])).collect();
        home.run(leases, threads as usize, &|_| None).iter().map(|member| member.result()).collect::<Vec<_>>()
    };
    let one = run(1);
    assert_eq!(one[0].0.len(), 4, "three shards and a manifest");
    assert_eq!((run(2), run(5)), (one.clone(), one.clone()));
    // And alone.
    let alone = home.run(vec![home.lease(&tasks[1], 9, vec![])], 2, &|_| None);
    assert_eq!(alone[0].result(), one[1]);
}

#[test]
fn images_of_one_file_are_encoded_once() {
    let mut images = Home::noise(40).images;
    images.extend((0..30).map(|i| (format!("again-{i}"), Some(format!("{}.png", i % 3)))));
    let home = Home::new(images, |root| (0..40).for_each(|i| super::support::noise(&root.join(format!("{i}.png")), i)));
    let members = home.run_tasks(&[home.embed(Output::Pooled, Dtype::F32)]);
    assert_eq!(members[0].encoded(), 40);
    assert_eq!(members[0].done().0["samples"], 70.0);
    let embeddings = home.open(&members[0]);
    for i in 0..30 {
        let first = embeddings.get(&format!("image-{}", i % 3)).unwrap();
        assert_eq!(embeddings.get(&format!("again-{i}")).unwrap(), first);
    }
    assert_ne!(embeddings.get("image-0"), embeddings.get("image-1"));
}

#[test]
fn what_an_encoder_has_not_concerns_only_who_asks_for_it() {
    let home = collection();
    let members = home.run_tasks(&[home.embed(Output::Maps, Dtype::F32), home.embed(Output::Pooled, Dtype::F32)]);
    let failure = members[0].failure();
    assert_eq!(failure.class, FailureClass::Input);
    assert!(failure.cure.as_ref().unwrap().contains("output: tokens"), "{failure:?}");
    assert_eq!(members[1].done().0["samples"], 7.0);
}

#[test]
fn sizes_that_do_not_fit_are_refused_before_anything_is_read() {
    let home = collection();
    for (pixels, expected) in [
        (Pixels { resize: 64, crop: 57 }, "patches of 14"),
        (Pixels { resize: 42, crop: 56 }, "resized to 42 pixels and cut to 56"),
        (Pixels { resize: 64, crop: 0 }, "cut to 0"),
    ] {
        let mut task = home.embed(Output::Pooled, Dtype::F32);
        let mut encoder = dinov2();
        if let Encoder::Dinov2 { pixels: own, .. } = &mut encoder {
            *own = pixels;
        }
        task.encoder = encoder;
        let members = home.run_tasks(&[task]);
        let failure = members[0].failure();
        assert!(failure.message.contains(expected) && failure.cure.is_some(), "{failure:?}");
        assert_eq!(failure.class, FailureClass::Input);
    }
}
