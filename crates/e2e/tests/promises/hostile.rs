//! Hostile and mistaken input: each gets a clear error with a code, and nothing is half done.

use printmill_client::v1::{
    AutoLayout, Content, CreatePrintRequest, GetOrderRequest, ListOrdersRequest, content,
};
use printmill_client::{Client, ClientError};
use printmill_testkit::shop::{PHOTOBOOK, order_request};
use printmill_testkit::{Node, Place, Shop};

/// How much more memory a node may use, whatever it is given.
const MEMORY_KIB_MAX: u64 = 256 * 1024;

fn code(error: &ClientError) -> &str {
    assert!(!error.message.is_empty() && !error.advice.is_empty(), "{error:?}");
    &error.code
}

/// A PNG that says it has 64,000 × 64,000 pixels, in a few hundred bytes.
fn bomb() -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut chunk = |kind: &[u8], data: &[u8]| {
        bytes.extend((data.len() as u32).to_be_bytes());
        let body: Vec<u8> = kind.iter().chain(data).copied().collect();
        bytes.extend(&body);
        bytes.extend(crc32(&body).to_be_bytes());
    };
    let mut header = vec![];
    header.extend(64_000u32.to_be_bytes());
    header.extend(64_000u32.to_be_bytes());
    header.extend([8, 2, 0, 0, 0]);
    chunk(b"IHDR", &header);
    chunk(b"IDAT", &[0x78, 0x9c, 0x03, 0x00, 0x00, 0x00, 0x00, 0x01]);
    chunk(b"IEND", &[]);
    bytes
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 }
        })
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_no_pictures_are_refused_and_cost_little_memory() -> anyhow::Result<()> {
    let place = Place::new()?;
    let node = Node::up(&place).await?;
    let shop = Shop::new(&place.address(), &place.merchant_key("Seller")?)?;
    let (before, _) = node.memory_kib()?;
    let photos = shop.upload_photos(&place.beside("photos"), 1).await?;
    let photo = std::fs::read(place.beside("photos").join("photo-0.jpg"))?;
    let png_bomb = bomb();
    let mut jpeg_bomb = photo.clone();
    let frame = jpeg_bomb.windows(2).position(|two| two == [0xff, 0xc0]).expect("baseline frame");
    jpeg_bomb[frame + 5..frame + 9].copy_from_slice(&[0xfa, 0x00, 0xfa, 0x00]);
    let cases: [(&str, &[u8], &str); 7] = [
        ("text.jpg", b"This is not a picture.", "ASSET_NOT_AN_IMAGE"),
        ("empty.jpg", b"", "ASSET_NOT_AN_IMAGE"),
        ("truncated.jpg", &photo[..photo.len() / 2], "ASSET_TRUNCATED"),
        ("almost.jpg", &photo[..photo.len() - 2], "ASSET_TRUNCATED"),
        ("bomb.png", &png_bomb, "ASSET_TOO_MANY_PIXELS"),
        ("bomb.jpg", &jpeg_bomb, "ASSET_TOO_MANY_PIXELS"),
        ("header.png", &png_bomb[..12], "ASSET_TRUNCATED"),
    ];
    for (name, bytes, expected) in cases {
        let path = place.beside(name);
        std::fs::write(&path, bytes)?;
        let refused = shop.client.upload_file(&path, |_| {}).await.err();
        let refused = refused.unwrap_or_else(|| panic!("{name} was taken"));
        assert_eq!(code(&refused), expected, "{name}: {refused}");
    }
    let (_, most) = node.memory_kib()?;
    assert!(most < before + MEMORY_KIB_MAX, "memory went from {before} to {most} KiB");
    assert!(shop.photobook(photos, 24).await.is_ok(), "the node still works");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn many_pictures_that_must_be_decoded_do_not_add_up() -> anyhow::Result<()> {
    let place = Place::new()?;
    let node = Node::up(&place).await?;
    let shop = Shop::new(&place.address(), &place.merchant_key("Seller")?)?;
    let (before, _) = node.memory_kib()?;
    // As large as is decoded at all: some 90 MiB of pixels and coefficients each.
    let mut large = printmill_testkit::shop::progressive_jpeg(5_800, 3_800)?;
    let mut uploads = tokio::task::JoinSet::new();
    for number in 0..6u8 {
        // Each has other bytes behind its end, so that no two are the same file.
        large.push(number);
        let path = place.beside(&format!("large-{number}.jpg"));
        std::fs::write(&path, &large)?;
        let shop = shop.clone();
        uploads.spawn(async move { shop.client.upload_file(&path, |_| {}).await });
    }
    let mut assets = vec![];
    while let Some(uploaded) = uploads.join_next().await {
        assets.push(uploaded??.id);
    }
    let print = shop.photobook(assets, 24).await?;
    let mut orders = vec![];
    for number in 0..4 {
        orders.push(shop.order(&print.id, &format!("large {number}")).await?.id);
    }
    let _facilities = crate::run_facilities(&place)?;
    for order in &orders {
        shop.shipped(order, std::time::Duration::from_secs(120)).await?;
    }
    let (_, most) = node.memory_kib()?;
    println!("memory went from {} MiB to {} MiB at most", before / 1024, most / 1024);
    assert!(most < before + MEMORY_KIB_MAX, "memory went from {before} to {most} KiB");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_requests_are_refused_with_a_code_and_change_nothing() -> anyhow::Result<()> {
    let place = Place::new()?;
    let _node = Node::up(&place).await?;
    let shop = Shop::new(&place.address(), &place.merchant_key("Seller")?)?;
    let photos = shop.upload_photos(&place.beside("photos"), 1).await?;
    let design = |sku: &str, page_count| CreatePrintRequest {
        content: Some(Content {
            sku: sku.into(),
            title: "Wrong".into(),
            layout: Some(content::Layout::AutoLayout(AutoLayout {
                asset_ids: photos.clone(),
                page_count,
            })),
        }),
        ..Default::default()
    };
    let refused =
        |answer: Result<printmill_client::v1::Print, ClientError>| answer.expect_err("is refused");
    let unknown = refused(shop.client.create_print(design("poster-of-nothing", 24)).await);
    assert_eq!(code(&unknown), "UNKNOWN_SKU");
    for pages in [0, 2, 23, 25, 122, u32::MAX] {
        let wrong = refused(shop.client.create_print(design(PHOTOBOOK, pages)).await);
        assert_eq!(code(&wrong), "PAGE_COUNT_OUT_OF_RANGE", "{pages} pages");
    }

    let print = shop.photobook(photos.clone(), 24).await?;
    let mut request = order_request(&print.id, "once");
    request.request_id = "the same".into();
    let first = shop.client.create_order(request.clone()).await?;
    let again = shop.client.create_order(request.clone()).await?;
    assert_eq!(first.id, again.id, "the same request has the same answer");
    request.reference = "other content".into();
    let reused = shop.client.create_order(request).await.expect_err("is refused");
    assert_eq!(code(&reused), "REQUEST_ID_REUSED");
    let orders = shop.client.list_orders(ListOrdersRequest::default()).await?.orders;
    assert_eq!(orders.len(), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_and_revoked_keys_are_refused() -> anyhow::Result<()> {
    let place = Place::new()?;
    let _node = Node::up(&place).await?;
    let key = place.merchant_key("Seller")?;
    let ask = async |key: Option<&str>| {
        let request = GetOrderRequest { order_id: "ord_00000000000000000000000000".into() };
        let client = Client::connect(&place.address(), key).expect("an address");
        client.get_order(request).await.expect_err("there is no such order")
    };
    assert_eq!(code(&ask(Some(&key)).await), "NOT_FOUND");
    assert_eq!(code(&ask(None).await), "UNAUTHENTICATED");
    assert_eq!(code(&ask(Some("pmk_wrong")).await), "UNAUTHENTICATED");

    let made = place.json(&["keys", "create", "--new-merchant", "Other", "--json"])?;
    let (key, id) = (made["key"].as_str().expect("key"), made["id"].as_str().expect("id"));
    place.json(&["keys", "revoke", id, "--json"])?;
    assert_eq!(code(&ask(Some(key)).await), "KEY_REVOKED");

    let facility = place.facility_key(&place.facilities()?[0])?;
    assert_eq!(code(&ask(Some(&facility)).await), "PERMISSION_DENIED");
    Ok(())
}
