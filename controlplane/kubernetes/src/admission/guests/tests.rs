use super::*;

/// A guest that stays until it is sent away.
async fn comes(guests: &Arc<Guests>) -> Option<Arc<Guest>> {
    let (tell, told) = tokio::sync::oneshot::channel();
    guests.admit(async move |guest: Arc<Guest>| {
        let _ = tell.send(Arc::downgrade(&guest));
        std::future::pending::<()>().await;
    });
    told.await.ok()?.upgrade()
}

fn present(guests: &Arc<Guests>) -> Vec<u64> {
    guests.present().by_number.keys().copied().collect()
}

#[tokio::test(flavor = "current_thread")]
async fn those_that_are_missed_least_make_place() {
    let guests = Guests::new(4);
    let first = comes(&guests).await.expect("room");
    let silent = comes(&guests).await.expect("room");
    let spoken = comes(&guests).await.expect("room");
    let later = comes(&guests).await.expect("room");
    first.has(Standing::Spoken);
    drop(first.begins());
    spoken.has(Standing::Spoken);
    drop(later.begins());
    assert_eq!(present(&guests).len(), 4);
    for gone in [&silent, &spoken, &first] {
        let before = present(&guests);
        let new = comes(&guests).await.expect("place");
        let expected: Vec<_> = before
            .into_iter()
            .filter(|number| *number != gone.number)
            .chain([new.number])
            .collect();
        assert_eq!(present(&guests), expected);
        // It stays: its request is under way.
        std::mem::forget(new.begins());
    }
    // Of those that are left one waits, then none.
    assert!(comes(&guests).await.is_some_and(|new| {
        std::mem::forget(new.begins());
        true
    }));
    assert!(!present(&guests).contains(&later.number));
    assert!(comes(&guests).await.is_none());
}

#[tokio::test(flavor = "current_thread")]
async fn who_leaves_makes_place() {
    let guests = Guests::new(1);
    let (tell, told) = tokio::sync::oneshot::channel();
    guests.admit(async move |guest: Arc<Guest>| {
        drop(guest);
        let _ = tell.send(());
    });
    told.await.expect("it ran");
    assert!(present(&guests).is_empty());
}
