use crate::harness::App;

#[tokio::test]
async fn the_short_path_redirects_to_the_page() {
    let app = App::new().await;
    for path in ["/swagger", "/swagger/"] {
        let reply = app.get(path).await;
        assert!(reply.status.is_redirection());
        assert_eq!(reply.header("location"), Some("/swagger/index.html"));
    }
}

#[tokio::test]
async fn the_page_and_all_it_needs_come_from_the_binary_under_a_strict_policy() {
    let app = App::new().await;
    let page = app.get("/swagger/index.html").await;
    assert_eq!(page.status, 200);
    assert_eq!(page.header("content-type"), Some("text/html"));
    let html = String::from_utf8(page.body.to_vec()).unwrap();
    let mut names = 0;
    for part in html
        .split(['"', '\''])
        .filter(|part| part.starts_with("./") || *part == "index.css")
    {
        let file = part.trim_start_matches("./");
        let reply = app.get(&format!("/swagger/{file}")).await;
        assert_eq!(reply.status, 200, "{file}");
        let policy = reply.header("content-security-policy").unwrap();
        assert!(
            policy.contains("default-src 'none'") && !policy.contains("http"),
            "{policy}"
        );
        names += 1;
    }
    assert!(names >= 5, "{html}");
    assert!(
        !html.contains("<script>"),
        "inline scripts are against the policy"
    );
}

#[tokio::test]
async fn the_page_reads_the_document_beside_it_and_nothing_from_elsewhere() {
    let app = App::new().await;
    let reply = app.get("/swagger/swagger-initializer.js").await;
    let script = String::from_utf8(reply.body.to_vec()).unwrap();
    assert!(
        script.contains("doc.json") && !script.contains("http"),
        "{script}"
    );
    assert_eq!(
        app.get("/swagger/doc.json").await.json()["info"]["title"],
        "sso"
    );
}

#[tokio::test]
async fn no_other_file_is_there() {
    let app = App::new().await;
    for path in [
        "/swagger/nope.js",
        "/swagger/..%2f..%2fetc%2fpasswd",
        "/swagger/%ff",
        "/swagger/a/b",
    ] {
        app.get(path).await.is_error(404, "not_found");
    }
}
